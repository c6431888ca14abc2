"""The lecture: its studies, claims and figures in `conf`, loaded like a user's folder, and the code they need."""
