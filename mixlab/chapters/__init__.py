"""What only one chapter needs, a folder each: its experiments, tables, figures and demonstrations."""
