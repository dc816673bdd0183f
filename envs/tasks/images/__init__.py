"""Task families over image files: folders, lists, and the data sets of the papers."""

from l2o.envs.tasks.images.augment import AUGMENTATIONS
from l2o.envs.tasks.images.cache import PixelCache
from l2o.envs.tasks.images.decoding import CorruptImageError
from l2o.envs.tasks.images.domains import DomainsFamily
from l2o.envs.tasks.images.family import ImageFamily
from l2o.envs.tasks.images.folder import FolderFamily
from l2o.envs.tasks.images.folder_masks import FolderMasksFamily
from l2o.envs.tasks.images.gta5_cityscapes import GTA5CityscapesFamily
from l2o.envs.tasks.images.image_files import ImageFiles
from l2o.envs.tasks.images.list_files import list_from_file
from l2o.envs.tasks.images.listing import Listing, list_class_folders, list_images
from l2o.envs.tasks.images.masked_images import MaskedImages, MaskListing
from l2o.envs.tasks.images.masks import MaskCoding
from l2o.envs.tasks.images.options import ImageOptions
from l2o.envs.tasks.images.splits import Domains, Part, draw_splits
from l2o.envs.tasks.images.synthia_cityscapes import SynthiaCityscapesFamily
from l2o.envs.tasks.images.task import image_task
from l2o.envs.tasks.images.visda17 import VisDA17Family

__all__ = [
    "AUGMENTATIONS",
    "CorruptImageError",
    "Domains",
    "DomainsFamily",
    "FolderFamily",
    "FolderMasksFamily",
    "GTA5CityscapesFamily",
    "ImageFamily",
    "ImageFiles",
    "ImageOptions",
    "Listing",
    "MaskCoding",
    "MaskListing",
    "MaskedImages",
    "Part",
    "PixelCache",
    "SynthiaCityscapesFamily",
    "VisDA17Family",
    "draw_splits",
    "image_task",
    "list_class_folders",
    "list_from_file",
    "list_images",
]
