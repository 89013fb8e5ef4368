"""Models.

LeNet5, ResNet18    of images; load_resnet18, resnet18_from, resnet18_state, save_resnet18: files of others
Bert, BertConfig    an encoder of text
Decoder, DecoderConfig, RopeScaling    transformers that read from left to right, dense and sparse
MoETransformer, MoEConfig    those with a mixture of experts in every layer
from_pretrained, save_pretrained    models in the folders of Hugging Face
generate, generate_text, Sampling    what a decoder goes on with

Each is loaded when it is first asked for: who embeds text needs no network of images.
"""

from typing import TYPE_CHECKING

from odyssey.lazy import lazy

if TYPE_CHECKING:
    from odyssey.models.bert import Bert, BertConfig
    from odyssey.models.decoder import Decoder, DecoderConfig, RopeScaling
    from odyssey.models.generation import Sampling, generate, generate_text
    from odyssey.models.lenet5 import LeNet5
    from odyssey.models.moe import MoEConfig, MoETransformer
    from odyssey.models.pretrained import from_pretrained, save_pretrained
    from odyssey.models.resnet18 import ResNet18
    from odyssey.models.resnet18_names import load_resnet18, resnet18_from, resnet18_state, save_resnet18

__all__ = [
    "Bert",
    "BertConfig",
    "Decoder",
    "DecoderConfig",
    "LeNet5",
    "MoEConfig",
    "MoETransformer",
    "ResNet18",
    "RopeScaling",
    "Sampling",
    "from_pretrained",
    "generate",
    "generate_text",
    "load_resnet18",
    "resnet18_from",
    "resnet18_state",
    "save_pretrained",
    "save_resnet18",
]

_NAMES = {
    "Bert": "odyssey.models.bert",
    "BertConfig": "odyssey.models.bert",
    "Decoder": "odyssey.models.decoder",
    "DecoderConfig": "odyssey.models.decoder",
    "LeNet5": "odyssey.models.lenet5",
    "MoEConfig": "odyssey.models.moe",
    "MoETransformer": "odyssey.models.moe",
    "ResNet18": "odyssey.models.resnet18",
    "RopeScaling": "odyssey.models.decoder",
    "Sampling": "odyssey.models.generation",
    "from_pretrained": "odyssey.models.pretrained",
    "generate": "odyssey.models.generation",
    "generate_text": "odyssey.models.generation",
    "load_resnet18": "odyssey.models.resnet18_names",
    "resnet18_from": "odyssey.models.resnet18_names",
    "resnet18_state": "odyssey.models.resnet18_names",
    "save_pretrained": "odyssey.models.pretrained",
    "save_resnet18": "odyssey.models.resnet18_names",
}

__getattr__, __dir__ = lazy(globals(), _NAMES)
