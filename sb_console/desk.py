"""What keys are judged by."""

from msgspec import Struct

from sb_console.actions import Action
from sb_console.model import Snapshot


class Desk(Struct, frozen=True):
    """What keys are judged by, besides the Ui: the snapshot shown, the table of actions, names and addresses."""

    snapshot: Snapshot
    actions: tuple[Action, ...]
    profile: str
    generator_url: str
    page: int = 10
