"""Reading the tracker: MLflow's runs as plain records and tables. Nothing is computed or drawn."""
