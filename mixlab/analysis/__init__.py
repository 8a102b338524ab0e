"""What mixing does to data, losses and networks, measured and in closed form. One file per question."""
