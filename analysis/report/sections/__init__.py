"""The report's sections: each turns `StudyResults` into blocks, whatever is missing."""
