"""Models in the folders of Hugging Face: config.json, safetensors, tokenizer.json.

from_pretrained, save_pretrained    a folder to a model and back
folder.py      what lies in a folder: a configuration, arrays by name; written whole or not at all
hub.py         the folder of "org/name"
settings.py    a configuration's settings, checked
weights.py     arrays of a folder to weights of a model and back
prefetch.py    weights read ahead
ARCHITECTURES  one module a kind of model, which says what its settings and tensors are called
"""

from odyssey.models.pretrained.loading import ARCHITECTURES, from_pretrained, save_pretrained

__all__ = ["ARCHITECTURES", "from_pretrained", "save_pretrained"]
