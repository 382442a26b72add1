"""A project's own module of this name, which has to run as it does without forkmeter."""

CUSTOMIZED = True
