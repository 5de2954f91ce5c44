"""Several devices and machines: the tf.distribute strategy with its broadcasts, and the launcher of local workers."""
