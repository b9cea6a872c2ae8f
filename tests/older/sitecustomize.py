"""Lets a process that has this folder in PYTHONPATH judge as a version that does not collect one of the signals yet."""

from dataclasses import replace

from virtwatch_api.catalogue.signals import SIGNAL

NOT_COLLECTED = "vm.guest.load.ratio"
SIGNAL[NOT_COLLECTED] = replace(SIGNAL[NOT_COLLECTED], formula=None)
