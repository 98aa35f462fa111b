"""Everything b2g_rt raises on purpose.

B2GError                  what a user can mend; the commands print its one line and exit with 2
|-- ConfigError           a YAML file, a key or a --set
|-- ChannelMapError       electrodes, arrays, ROIs, columns of a stream
|-- WindowError           a window that cannot be defined or cut
|   |-- WindowNotReady    its last sample has not arrived
|   `-- WindowOverwritten its first sample has left the ring
|-- BundleError           a model bundle that is missing, tampered with or of another version
|-- GeneratorError        a generator's directory, specification or weights that do not fit
|   `-- CheckpointError   a checkpoint file that is none, is broken or must not be read
|-- FeatureError          a network, its weights, or a file of features that cannot be opened, made or gone on with
|-- EncodingError         responses or features that no encoding model can be fitted to
|-- StimulusError         a class list, picture or stimulus set that cannot be read, made or gone on with
|-- MessageError          bytes on a socket that are no message of ours, or of another version
|-- SessionError          a recorded session that cannot be read or written
|-- StreamError           LSL streams
|   |-- StreamNotFound    no stream fits; the line lists what is there
|   |-- StreamAmbiguous   several streams fit
|   |-- StreamMismatch    channels, rate, format or clock are not what the bundle needs
|   |-- StreamLost        the stream was there and is gone
|   `-- LslAlreadyLoaded  liblsl was loaded before its settings were written
|-- ProviderError         an ONNX Runtime provider that was asked for and is not to be had
|-- PictureError          a generator returned what no picture can be: NaN, or one colour throughout
|-- PublishError          a socket that cannot be bound or must not be (no keys beyond loopback)
|-- CommandError          a command to a running service that it does not get, or cannot carry out
|-- SchedulerError        a Dask cluster that cannot be reached, runs other versions, or lost its workers
`-- SetupError            something missing on the machine, with the command that installs it

A message is one line: ``where: what was found, what was expected. What to do.``
"""

from __future__ import annotations


class B2GError(Exception):
    """A fault that the user can mend; its text is one line."""

    exit_code = 2


class ConfigError(B2GError):
    """A configuration file, key or ``--set`` is wrong."""


class ChannelMapError(B2GError):
    """A channel map contradicts itself, a stream or a bundle."""


class WindowError(B2GError):
    """A window cannot be defined or cut."""


class WindowNotReady(WindowError):
    """The window's last sample has not arrived yet."""


class WindowOverwritten(WindowError):
    """The window's first sample has left the ring."""


class BundleError(B2GError):
    """A model bundle is missing, incomplete, tampered with or of another version."""


class GeneratorError(B2GError):
    """A generator's directory, specification or weights do not fit."""


class CheckpointError(GeneratorError):
    """A checkpoint file is none, is broken, or holds what must not be read."""


class FeatureError(B2GError):
    """A network, its weights, or a file of features cannot be opened, made or gone on with."""


class EncodingError(B2GError):
    """No encoding model can be fitted to these responses or features."""


class StimulusError(B2GError):
    """A class list, picture or stimulus set cannot be read, made or gone on with."""


class MessageError(B2GError):
    """Bytes that are no message of this program, or one of another version."""


class SessionError(B2GError):
    """A recorded session cannot be read or written."""


class StreamError(B2GError):
    """Something about an LSL stream."""


class StreamNotFound(StreamError):
    """No stream fits the description."""


class StreamAmbiguous(StreamError):
    """More than one stream fits the description."""


class StreamMismatch(StreamError):
    """A stream's channels, rate, format or clock are not what is needed."""


class StreamLost(StreamError):
    """A connected stream is gone."""


class LslAlreadyLoaded(StreamError):
    """liblsl reads its settings once, and it was loaded before they were written."""


class ProviderError(B2GError):
    """An execution provider was asked for and cannot be had."""


class PictureError(B2GError):
    """A generator returned what no picture can be."""


class PublishError(B2GError):
    """A socket cannot be bound, or must not be."""


class CommandError(B2GError):
    """A running service is not reached by a command, or cannot carry it out."""


class SchedulerError(B2GError):
    """A Dask cluster cannot be reached, runs other versions, or lost its workers."""


class SetupError(B2GError):
    """Something is missing on this machine."""
