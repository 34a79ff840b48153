"""What a run or a project took, in the forms that others ask for. One file a format; field lists in templates/."""
