"""Runs esptool with a stub of ours in place of its own: the first argument is the stub's RAM image, the others are
esptool's."""
import base64
import json
import pathlib
import struct
import sys
import tempfile

import esptool
from esptool.loader import StubFlasher

# ESP8266 image format: E9, segments, flash mode, flash size; entry point; then each segment behind address and length.
image = pathlib.Path(sys.argv.pop(1)).read_bytes()
entry = struct.unpack_from("<I", image, 4)[0]
segments, place = [], 8
for _ in range(image[1]):
    address, length = struct.unpack_from("<II", image, place)
    segments.append((address, base64.b64encode(image[place + 8 : place + 8 + length]).decode()))
    place += 8 + length
(text_start, text), (data_start, data) = segments

with tempfile.TemporaryDirectory() as folder:
    generation = pathlib.Path(folder, StubFlasher.STUB_SUBDIRS[0])
    generation.mkdir()
    stub = {"entry": entry, "text": text, "text_start": text_start, "data": data, "data_start": data_start}
    (generation / "esp8266.json").write_text(json.dumps(stub))
    StubFlasher.STUB_DIR = folder
    esptool._main()
