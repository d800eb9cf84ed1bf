//! A local Microsoft Entra, Azure and Databricks that speak the real protocols
