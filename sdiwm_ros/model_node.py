"""What the nodes that run a model have in common."""

from __future__ import annotations

from sdiwm_model.shipped import bundle_folder
from sdiwm_ros.models import ModelWatch, RuntimeLoader
from sdiwm_ros.process import ManagedNode


class ModelNode(ManagedNode):
    """Loads the model that the parameters name; warns where its files are replaced afterwards."""

    def __init__(self, kind: str, load: RuntimeLoader) -> None:
        super().__init__(kind)
        self._load = load

    def configure(self) -> None:
        self._watch = ModelWatch(bundle_folder(self.given["model"], self.given["task"]))
        self.runtime = self._load(self.given)
        self.diagnostics.hardware = self.runtime.manifest.model_hash

    def warnings(self) -> list[str]:
        if not self._watch.replaced():
            return []
        return [
            f"the model on disk ({self._watch.folder}) was replaced: still running "
            f"{self.diagnostics.hardware}; restart the node to load the new one"
        ]
