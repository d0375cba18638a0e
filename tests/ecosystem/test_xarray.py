"""DataArrays of xarray, through its apply_ufunc: docs/ecosystem/xarray.md."""

import numpy as np
import pytest

import xpnn

pytestmark = pytest.mark.libraries

xr = pytest.importorskip("xarray")

NETWORK = xpnn.load("digits")
X = np.random.default_rng(0).random((6, 28, 28)).astype("float32")
IMAGES = xr.DataArray(X, dims=("image", "y", "x"), coords={"image": list("abcdef")})
ROWS = IMAGES.stack(pixel=("y", "x"))
CALLS = {"input_core_dims": [["pixel"]], "output_core_dims": [["digit"]]}


def test_refused_as_it_is_and_taken_by_apply_ufunc():
    with pytest.raises(
        xpnn.XpnnTypeError, match=r"pass x\.data, or let xarray\.apply_ufunc call it"
    ):
        NETWORK(ROWS)
    found = xr.apply_ufunc(NETWORK, ROWS, **CALLS)
    assert (found.dims, found.dtype) == (("image", "digit"), "float32")
    assert found.coords["image"].values.tolist() == list("abcdef")
    np.testing.assert_array_equal(found.values, NETWORK(X.reshape(6, -1)))


def test_samples_of_several_axes():
    network = xpnn.Network([xpnn.Flatten((28, 28)), *NETWORK.layers])
    turned = IMAGES.transpose("x", "image", "y")
    found = xr.apply_ufunc(network.classify, turned, input_core_dims=[["y", "x"]])
    assert found.dims == ("image",)
    np.testing.assert_array_equal(found.values, NETWORK.classify(X.reshape(6, -1)))


@pytest.mark.parametrize("dask", ["parallelized", "allowed"])
def test_chunks_of_dask(dask):
    """Computed when asked for, each chunk by itself; of the reproducible way the same bits."""
    pytest.importorskip("dask.array")
    lazy = ROWS.chunk(image=4)
    sizes = {"output_dtypes": ["float32"], "dask_gufunc_kwargs": {"output_sizes": {"digit": 10}}}
    options = {"dask": dask, **(sizes if dask == "parallelized" else {})}
    found = xr.apply_ufunc(NETWORK, lazy, **CALLS, **options)
    assert (found.chunks, found.dtype) == (((4, 2), (10,)), "float32")
    np.testing.assert_allclose(found.compute().values, NETWORK(X.reshape(6, -1)), rtol=1e-5)
    if dask == "parallelized":
        way = xpnn.reproducible(np)
        found = xr.apply_ufunc(NETWORK, lazy, kwargs={"xp": way}, **CALLS, **options)
        np.testing.assert_array_equal(found.values, NETWORK(X.reshape(6, -1), xp=way))


def test_arrays_of_jax_stay():
    jax = pytest.importorskip("jax")
    rows = xr.DataArray(jax.numpy.asarray(X.reshape(6, -1)), dims=("image", "pixel"))
    assert isinstance(xr.apply_ufunc(NETWORK, rows, **CALLS).data, jax.Array)
