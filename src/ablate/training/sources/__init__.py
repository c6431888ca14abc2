"""The user's own code that a run's settings name: finding it, keeping it, comparing it."""

from ablate.training.sources.edits import earlier_run as earlier_run
from ablate.training.sources.edits import edited as edited
from ablate.training.sources.edits import keep as keep
from ablate.training.sources.finding import Source as Source
from ablate.training.sources.finding import as_identity as as_identity
from ablate.training.sources.finding import check_unedited as check_unedited
from ablate.training.sources.finding import files as files
from ablate.training.sources.finding import find as find
