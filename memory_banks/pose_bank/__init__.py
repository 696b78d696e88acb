"""Views by where they were taken, and which of them show what a target will show."""

from memory_banks.pose_bank.bank import PoseBank, open_pose_bank
from memory_banks.pose_bank.records import Chosen, Explanation, Rule, Target, Truth, View
from memory_banks.pose_bank.settings import PoseBankConfig

__all__ = [
    "Chosen",
    "Explanation",
    "PoseBank",
    "PoseBankConfig",
    "Rule",
    "Target",
    "Truth",
    "View",
    "open_pose_bank",
]
