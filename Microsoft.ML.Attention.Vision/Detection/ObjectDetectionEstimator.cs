using Microsoft.ML.Data;
using Microsoft.ML.Runtime;

namespace Microsoft.ML.Attention.Vision;

/// <summary>Detects objects with a detector that exists already; fitting checks the schema and learns nothing.</summary>
public sealed class ObjectDetectionEstimator : TrivialEstimator<ObjectDetectionTransformer>
{
    private readonly DetectionSource _source;

    internal ObjectDetectionEstimator(IHostEnvironment environment, Options options)
        : base(environment.Register(nameof(ObjectDetectionEstimator)), CreateTransformer(environment, options)) =>
        _source = options.Source;

    /// <summary>Options for <see cref="ObjectDetectionEstimator"/>.</summary>
    public sealed class Options
    {
        /// <summary>
        /// The detector's file, as <see cref="Onnx.Models.PlainDetr.Build"/> makes it. Either this or <see cref="Model"/>.
        /// </summary>
        public string? ModelFile { get; set; }

        /// <summary>The detector's bytes. Either this or <see cref="ModelFile"/>.</summary>
        public byte[]? Model { get; set; }

        /// <inheritdoc cref="ObjectDetectionTransformer.ImageColumnName"/>
        public string ImageColumnName { get; set; } = "Image";

        /// <summary>What paths in the column are relative to; null for the current folder.</summary>
        public string? ImageFolder { get; set; }

        /// <summary>How pictures become the model's input.</summary>
        public DetectionPreprocessing Preprocessing { get; set; } = new();

        /// <summary>The names of the model's classes, in its order.</summary>
        public IReadOnlyList<string> Labels { get; set; } = [];

        /// <summary>Detections of lower scores are left out; 0 for all that the model gives.</summary>
        public float LeastScore { get; set; }

        /// <summary>The names of the columns to add.</summary>
        public DetectionColumns Columns { get; set; } = new();

        /// <summary>
        /// How rows are batched and where the model runs. The published detectors are at their best one picture a batch, with no padding.
        /// </summary>
        public ScoringOptions Scoring { get; set; } = new() { BatchSize = 1 };

        internal DetectionSource Source => new(ImageColumnName, ImageFolder, Preprocessing, Columns, LeastScore);
    }

    /// <inheritdoc/>
    public override SchemaShape GetOutputSchema(SchemaShape inputSchema)
    {
        Host.CheckValue(inputSchema, nameof(inputSchema));
        _source.Check(Host, inputSchema);
        return OutputSchemaShape.Add(inputSchema, Transformer);
    }

    private static ObjectDetectionTransformer CreateTransformer(IHostEnvironment environment, Options options)
    {
        if ((options.ModelFile is null) == (options.Model is null))
            throw environment.ExceptUserArg(nameof(options), $"give one of {nameof(Options.ModelFile)} and {nameof(Options.Model)}");
        if (options.Labels.Count == 0)
            throw environment.ExceptUserArg(nameof(options), $"{nameof(Options.Labels)} is empty; name the model's classes");
        options.Preprocessing.Validate();
        var model = options.ModelFile is null ? new ModelContent(options.Model!) : ModelContent.FromFile(options.ModelFile);
        var labels = ClassLabels.FromNames(environment.Register(nameof(ObjectDetectionEstimator)), options.Labels);
        return new(environment, model, options.Scoring, options.Source, labels);
    }
}
