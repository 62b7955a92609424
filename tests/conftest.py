"""What holds for every test."""

from hypothesis import settings

# A busy machine is no failure: no test is about wall-clock time.
settings.register_profile("rnnlane", deadline=None)
settings.load_profile("rnnlane")
