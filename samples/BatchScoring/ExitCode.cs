namespace BatchScoring;

/// <summary>What the process tells its caller; documented in --help and README.md.</summary>
internal enum ExitCode
{
    Done = 0,
    BadInputs = 1,
    Usage = 2,
    ModelNotLoaded = 3,
    OutputProblem = 4,
    Cancelled = 130,
}
