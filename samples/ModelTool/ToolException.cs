namespace ModelTool;

/// <summary>An end that the user can mend; the message says how.</summary>
internal sealed class ToolException(ExitCode exitCode, string message, Exception? cause = null) : Exception(message, cause)
{
    public ExitCode ExitCode { get; } = exitCode;
}
