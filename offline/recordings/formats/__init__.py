"""Readers and writers of recordings, one file per format, all behind one interface (`reader.RecordingReader`).

Begin with `opening.open_recording`: it finds out which format a file has. Nothing here knows decoders or windows.
"""
