"""What Accelboard costs and gains, as ratios within one run. Each module is a command."""
