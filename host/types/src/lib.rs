//! The types and values that workflow files, plugins and calls share
