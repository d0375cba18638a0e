"""What arrays are called in annotations; the standard has no types to check them by yet."""

from xpnn._arrays.backends.protocol import Array, Device, DType, Namespace, Values

__all__ = ["Array", "DType", "Device", "Namespace", "Values"]
