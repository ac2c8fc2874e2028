"""From a run record to an explanation: facts, knowledge base, hypotheses, report."""
