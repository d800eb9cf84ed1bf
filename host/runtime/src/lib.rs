//! Runs plugins: Wasm components in fresh, bounded stores, converted by their own types
