"""What only chapter 4 needs: LaMix's experiment, measures, tables, figures and demonstrations."""
