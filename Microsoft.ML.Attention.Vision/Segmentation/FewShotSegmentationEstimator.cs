using Microsoft.ML.Data;
using Microsoft.ML.Runtime;

namespace Microsoft.ML.Attention.Vision;

/// <summary>
/// Finds the objects of classes that a few pictures and masks tell of. The support set's pictures go through the model when the estimator
/// is made, once; fitting checks the schema and learns nothing.
/// </summary>
public sealed class FewShotSegmentationEstimator : TrivialEstimator<FewShotSegmentationTransformer>
{
    private readonly SegmentationSource _source;

    internal FewShotSegmentationEstimator(IHostEnvironment environment, SupportSet support, Options options)
        : base(environment.Register(nameof(FewShotSegmentationEstimator)), CreateTransformer(environment, support, options)) =>
        _source = options.Source;

    /// <summary>Options for <see cref="FewShotSegmentationEstimator"/>.</summary>
    public sealed class Options
    {
        /// <summary>The model, trained by <see cref="FewShotSegmentationTrainer"/> or made of a published checkpoint.</summary>
        public FewShotSegmentationModel? Model { get; set; }

        /// <inheritdoc cref="FewShotSegmentationTransformer.ImageColumnName"/>
        public string ImageColumnName { get; set; } = "Image";

        /// <summary>What paths in the column are relative to; null for the current folder.</summary>
        public string? ImageFolder { get; set; }

        /// <summary>The names of the columns to add.</summary>
        public SegmentationColumns Columns { get; set; } = new();

        /// <summary>How rows are batched, where the model runs, and what becomes of pictures that cannot be read.</summary>
        public ScoringOptions Scoring { get; set; } = new() { BatchSize = 4 };

        internal SegmentationSource Source => new(ImageColumnName, ImageFolder, Columns);
    }

    /// <inheritdoc/>
    public override SchemaShape GetOutputSchema(SchemaShape inputSchema)
    {
        Host.CheckValue(inputSchema, nameof(inputSchema));
        _source.Check(Host, inputSchema);
        return OutputSchemaShape.Add(inputSchema, Transformer);
    }

    private static FewShotSegmentationTransformer CreateTransformer(IHostEnvironment environment, SupportSet support, Options options)
    {
        environment.CheckValue(support, nameof(support));
        environment.CheckValue(options, nameof(options));
        if (options.Model is null)
            throw environment.ExceptUserArg(nameof(options), $"{nameof(Options.Model)} is not set");
        if (support.Classes.Count == 0)
            throw environment.ExceptUserArg(nameof(support), "the support set has no pictures; add at least one with its mask");
        var content = options.Model.With(environment, support, options.Scoring.Session);
        return new(environment, content, options.Scoring, options.Source, support.Classes,
            options.Model.LogitSize);
    }
}
