"""From a `Source` to a prepared dataset (`prepare`), more items for one (`extend`), what it holds (`description`)."""
