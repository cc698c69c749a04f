"""Errors that solartrack raises on purpose.

Wrong argument types and values are plain ``TypeError`` and ``ValueError``;
the classes here are for what a pipeline may want to catch: bad files, missing
knowledge about an image, unusable devices, archives that do not answer.
"""


class SolartrackError(Exception):
    """Base of all errors below."""


class ImageError(SolartrackError):
    """A file is not a readable image. The message names the file and the reason."""


class ImageWarning(UserWarning):
    """Part of an image's header was unusable and left out. The message names the file and the part."""


class GeometryError(SolartrackError, ValueError):
    """An image does not say (or nobody said) where the Sun is in it."""


class TrackError(SolartrackError, ValueError):
    """A track cannot be started, or a stored one cannot be read."""


class ArchiveError(SolartrackError):
    """A run over an archive cannot start or go on: its catalogue, images, folder or scheduler."""


class TrackWarning(UserWarning):
    """Images can be tracked, but perhaps not as meant."""


class ModelError(SolartrackError, ValueError):
    """A model file is damaged, not one of ours, or made for other inputs. The message names the file."""


class DeviceError(SolartrackError, RuntimeError):
    """A device was asked for that cannot be used here. The message says what was found."""


class SourceError(SolartrackError):
    """An archive on the network gave no answer, or not the one that was asked for.

    Parameters
    ----------
    message : str
        What was asked, what came, what to do.
    permanent : bool
        Asking again will not help: there is no such file, or no such data.

    Attributes
    ----------
    permanent : bool
    """

    def __init__(self, message: str, *, permanent: bool = False) -> None:
        super().__init__(message)
        self.permanent = permanent


class SourceWarning(UserWarning):
    """Something that an archive gave is not as it should be, and was left out or taken as far as it goes."""
