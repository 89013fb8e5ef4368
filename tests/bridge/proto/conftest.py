import pytest

pytest.importorskip("google.protobuf")
pytest.importorskip("ml_dtypes")
