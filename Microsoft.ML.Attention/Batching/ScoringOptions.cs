using Microsoft.ML.Runtime;

namespace Microsoft.ML.Attention;

/// <summary>How a transformer runs its model over the rows of a data view. Saved with the transformer.</summary>
public sealed record ScoringOptions
{
    /// <summary>Rows a run of the model; a model whose own row count is fixed overrides it. At least 1.</summary>
    public int BatchSize { get; init; } = 64;

    /// <summary>What becomes of a row whose input cannot be read.</summary>
    public BadInput BadInput { get; init; } = BadInput.Throw;

    /// <summary>
    /// A text column to add that says why a row could not be scored, empty for good rows; <see langword="null"/> for none.
    /// </summary>
    public string? ErrorColumnName { get; init; }

    /// <summary>How the model is run.</summary>
    public OnnxSessionOptions Session { get; init; } = new();

    internal void Save(ModelSaveContext context)
    {
        context.Writer.Write(BatchSize);
        context.Writer.Write((int)BadInput);
        context.SaveStringOrNull(ErrorColumnName);
        Session.Save(context);
    }

    internal static ScoringOptions Load(ModelLoadContext context) => new()
    {
        BatchSize = context.Reader.ReadInt32(),
        BadInput = (BadInput)context.Reader.ReadInt32(),
        ErrorColumnName = context.LoadStringOrNull(),
        Session = OnnxSessionOptions.Load(context),
    };

    internal void Check(IExceptionContext host) =>
        host.CheckUserArg(BatchSize > 0, nameof(BatchSize), $"is {BatchSize}; a batch has at least one row");
}
