"""Arrays over two processes of two devices each: `python sharded_hosts.py PORT RANK`, twice at a time."""

import sys

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

import xpnn

X = np.linspace(-3, 4, 64, dtype="float32").reshape(8, 8)


def a_network():
    """One that nobody has called."""
    weights = [np.linspace(-1, 1.3, 8 * n, dtype="float32").reshape(-1, n) ** 3 for n in (8, 4)]
    biases = [np.linspace(0, 1, n, dtype="float32") for n in (8, 4)]
    return xpnn.Network.from_weights(weights, biases, hidden="softsign", output="softmax")


def main(port, rank):
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    jax.distributed.initialize(f"127.0.0.1:{port}", 2, rank)
    assert len(jax.devices()) == 4
    assert len(jax.local_devices()) == 2
    mine = slice(4 * rank, 4 * rank + 4)
    for kind in ("Auto", "Explicit"):
        mesh = jax.make_mesh((4,), ("rows",), axis_types=(getattr(AxisType, kind),))
        rows = NamedSharding(mesh, P("rows"))
        x = jax.make_array_from_process_local_data(rows, X[mine])
        again = jax.make_array_from_callback(X.shape, rows, X.__getitem__)
        for xp in (None, jnp, xpnn.reproducible(jnp)):
            network = a_network()
            nxp = xpnn.reproducible(np) if xp not in {None, jnp} else None
            expected = network(X, xp=nxp)

            def check(y, expected=expected, exact=nxp is not None):
                assert next(iter(y.sharding.spec)) == "rows", y.sharding
                for part in y.addressable_shards:
                    if exact:
                        np.testing.assert_array_equal(part.data, expected[part.index])
                    else:
                        np.testing.assert_allclose(part.data, expected[part.index], rtol=1e-5)

            check(network(x, xp=xp))
            with jax.transfer_guard("allow" if xp is jnp else "disallow"):
                check(network(again, xp=xp))
            check(jax.jit(lambda x, network=network, xp=xp: network(x, xp=xp))(x))
            along = xpnn.softmax(x, axis=0, xp=xp)
            check(along, xpnn.softmax(X, axis=0, xp=nxp))
        check(xpnn.error_bound(network, x), xpnn.error_bound(network, X), exact=False)
    print("all", flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
