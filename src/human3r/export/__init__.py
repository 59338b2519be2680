"""Results in the formats of other tools: one module per format, one shared loader.

``read_result`` reads a folder, ``choose_world`` the axes, ``make_clip`` puts everything into them,
``load_skin`` adds the body model, and ``export`` writes the file.
"""

from human3r.export.formats import FORMATS, Format, export

__all__ = ["FORMATS", "Format", "export"]
