//! HTTP clients for Microsoft Entra, Graph, ARM, Key Vault, ADLS and Databricks
