using Microsoft.ML.Data;
using Microsoft.ML.Runtime;

namespace Microsoft.ML.Attention;

/// <summary>
/// Adds the outputs of an ONNX model to the data, computed for many rows in one run of the model. The first dimension of each input and
/// output counts rows; the rest of it is a column: a scalar where there is none, else a vector. Fitting checks the schema and learns
/// nothing.
/// </summary>
public sealed class OnnxBatchScoringEstimator : TrivialEstimator<OnnxBatchScoringTransformer>
{
    internal OnnxBatchScoringEstimator(IHostEnvironment environment, Options options)
        : base(environment.Register(nameof(OnnxBatchScoringEstimator)), CreateTransformer(environment, options))
    {
    }

    /// <summary>Options for <see cref="OnnxBatchScoringEstimator"/>.</summary>
    public sealed class Options
    {
        /// <summary>
        /// The model's file; weights that it keeps in other files are looked for beside it. Either this or <see cref="Model"/>.
        /// </summary>
        public string? ModelFile { get; set; }

        /// <summary>The model's bytes. Either this or <see cref="ModelFile"/>.</summary>
        public byte[]? Model { get; set; }

        /// <summary>
        /// For an input of the model the column that feeds it; an input that is not named here is fed by the column of its own name.
        /// </summary>
        public Dictionary<string, string> InputColumns { get; set; } = [];

        /// <summary>For an output of the model the column to add; empty for all outputs under their own names.</summary>
        public Dictionary<string, string> OutputColumns { get; set; } = [];

        /// <summary>How rows are batched and where the model runs.</summary>
        public ScoringOptions Scoring { get; set; } = new();
    }

    /// <inheritdoc/>
    public override SchemaShape GetOutputSchema(SchemaShape inputSchema)
    {
        Host.CheckValue(inputSchema, nameof(inputSchema));
        foreach (var (input, column) in Transformer.InputColumns)
        {
            if (!inputSchema.TryFindColumn(column, out _))
                throw Host.ExceptSchemaMismatch(nameof(inputSchema), $"model input '{input}'", column);
        }
        return OutputSchemaShape.Add(inputSchema, Transformer);
    }

    private static OnnxBatchScoringTransformer CreateTransformer(IHostEnvironment environment, Options options)
    {
        if ((options.ModelFile is null) == (options.Model is null))
            throw environment.ExceptUserArg(nameof(options), $"give one of {nameof(Options.ModelFile)} and {nameof(Options.Model)}");
        var model = options.ModelFile is null ? new ModelContent(options.Model!) : ModelContent.FromFile(options.ModelFile);
        return new(environment, model, options.Scoring, options.InputColumns.ToDictionary(), options.OutputColumns.ToDictionary());
    }
}
