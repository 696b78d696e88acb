"""The surfel bank: what is where, drawn from any place, and which views saw it."""

from memory_banks.surfel_bank.bank import SurfelBank
from memory_banks.surfel_bank.settings import SurfelBankConfig

__all__ = ["SurfelBank", "SurfelBankConfig"]
