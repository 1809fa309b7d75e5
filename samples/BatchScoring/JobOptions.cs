using BatchScoring.Output;
using Microsoft.ML.Attention;
using Microsoft.ML.Attention.Vision;

namespace BatchScoring;

/// <summary>How much the program says about what it does.</summary>
internal enum LogLevel
{
    Error,
    Warning,
    Information,
    Debug,
}

/// <summary>The command line, read.</summary>
internal sealed record JobOptions
{
    public required string Model { get; init; }

    public required string Input { get; init; }

    public required string Output { get; init; }

    public ExistingOutput ExistingOutput { get; init; }

    public string? Shard { get; init; }

    public int? ShardCount { get; init; }

    public int RowsPerPart { get; init; } = 10_000;

    public string[] Columns { get; init; } = [];

    public string[] Extensions { get; init; } = [];

    public string? ImageColumn { get; init; }

    public ExecutionProvider Provider { get; init; }

    public int BatchSize { get; init; } = 64;

    /// <summary>For ONNX files.</summary>
    public required ImagePreprocessing Preprocessing { get; init; }

    /// <summary>For ONNX files: the names of the classes.</summary>
    public string[]? Labels { get; init; }

    public bool FailOnBad { get; init; }

    public bool Quiet { get; init; }

    public LogLevel LogLevel { get; init; } = LogLevel.Information;
}
