"""Image files: sequences, stills and movies in and out, their layers, windows and colour spaces."""

from .atomic import clean_leftovers
from .conversion import from_scene_linear, output_colorspace, premultiplied, straightened, to_scene_linear
from .fingerprints import read_fingerprint
from .header import Header, PartHeader, header_of, straight_alpha
from .layers import Layer, beauty, is_alpha, layers_of, parse_policies, views_of
from .movie_write import MOVIE_CODECS, WRITABLE_MOVIES, MovieWriter, open_movie
from .sequences import MOVIE_SUFFIXES
from .shot import Shot, open_shot
from .write import STILL_SUFFIXES, write_image

__all__ = [
    "MOVIE_CODECS",
    "MOVIE_SUFFIXES",
    "STILL_SUFFIXES",
    "WRITABLE_MOVIES",
    "Header",
    "Layer",
    "MovieWriter",
    "PartHeader",
    "Shot",
    "beauty",
    "clean_leftovers",
    "from_scene_linear",
    "header_of",
    "is_alpha",
    "layers_of",
    "open_movie",
    "open_shot",
    "output_colorspace",
    "parse_policies",
    "premultiplied",
    "read_fingerprint",
    "straight_alpha",
    "straightened",
    "to_scene_linear",
    "views_of",
    "write_image",
]
