"""Networks to and from the programs of others."""

from os import PathLike

from xpnn._convert.extras import needing
from xpnn._files.model_file import replacing
from xpnn._network.layers.layer import Layers


class Exchange:
    """What a network has for others."""

    layers: Layers

    def to_onnx(self, path: str | PathLike[str]) -> None:
        """Write the network as an ONNX model, in the standard's own operators.

        Parameters
        ----------
        path : str or path
            The file, which is replaced as a whole or not at all.

        Raises
        ------
        XpnnError
            If the package onnx is not installed: ``pip install 'xpnn[onnx]'``.
        ValueError
            If a layer is a `Function`, which is code, or weights are bfloat16. Nothing is written then.

        Notes
        -----
        Opset 20. The input ``x`` has any number of rows, the output is ``y``, both in the dtype of the
        weights. Numbers that activations have are constants, as the attributes of operators would round
        them to float32. A float16 network computes in float32, as it does here. What computes the model
        does so within `error_bound`; ONNX Runtime has no float64 of Elu, Erf, Gelu and Softplus. The
        marks of `fold`, classes and metadata stay behind. `load` gives the same layers again.

        Examples
        --------
        >>> import xpnn
        >>> xpnn.load("digits").to_onnx("digits.onnx")  # doctest: +SKIP
        """
        content = needing("onnx", "onnx_export").model_of(self.layers)
        with replacing(path) as file:
            file.write(content)
