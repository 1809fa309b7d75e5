namespace ModelTool;

/// <summary>What the process tells its caller; documented in --help and README.md.</summary>
internal enum ExitCode
{
    Done = 0,
    CheckFailed = 1,
    Usage = 2,
    InputProblem = 3,
    OutputProblem = 4,
}
