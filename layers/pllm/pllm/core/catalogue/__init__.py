"""What is known of the models: capabilities and prices, as a dated data file.

`models.json` beside this module is the packaged catalogue. Nothing here reads it: whoever builds the application hands its
bytes to `parse`. Loading costs about a millisecond, and only the rows that are asked for become profiles.

The file: `families` are sets of fields shared by models; `models` holds one row per provider and model; `providers` says
whose rows a provider that resells models borrows. A row may name a family (`like`) and another row (`of`, "provider/model")
to start from; its own fields come last. `price_changes` are announced prices with the day they begin. Every row says where
it comes from (`source`) and when that was read (`as_of`). A field that is absent is not known.
"""

from pllm.core.catalogue.book import ModelCatalogue, layered, parse
from pllm.core.catalogue.rows import CatalogueError

PACKAGED = "models.json"
"""The packaged catalogue's file name, in this package's directory."""

__all__ = ["PACKAGED", "CatalogueError", "ModelCatalogue", "layered", "parse"]
