//! The six shipped plugins, built to components
