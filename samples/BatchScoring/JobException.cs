namespace BatchScoring;

/// <summary>An end of the job that the user can mend; the message says how.</summary>
internal sealed class JobException(ExitCode exitCode, string message, Exception? cause = null) : Exception(message, cause)
{
    public ExitCode ExitCode { get; } = exitCode;
}
