"""Settings of runs that take seconds."""

SHAPES = "data=shapes data.num_train=300 data.num_test=60 data.val_size=60 net=micro trainer.batch_size=20"
ALONE = f"{SHAPES} trainer.threads=1"
