"""What people look at: pictures, tables and pages of a run or a search."""
