"""How wrong an answer is."""

from kairos.training.losses.film import KINDS, FilmLoss
from kairos.training.losses.plain import laplacian, robust
from kairos.training.losses.vgg import Vgg19, load_vgg19

__all__ = ["KINDS", "FilmLoss", "Vgg19", "laplacian", "load_vgg19", "robust"]
