using Microsoft.ML.Data;
using Microsoft.ML.Runtime;

namespace Microsoft.ML.Attention.Vision;

/// <summary>Makes stories in pictures with a model that exists already; fitting checks the schema and learns nothing.</summary>
public sealed class StoryEstimator : TrivialEstimator<StoryTransformer>
{
    internal StoryEstimator(IHostEnvironment environment, string modelFolder, Options options)
        : base(environment.Register(nameof(StoryEstimator)), CreateTransformer(environment, modelFolder, options))
    {
    }

    /// <summary>Options for <see cref="StoryEstimator"/>.</summary>
    public sealed class Options
    {
        /// <summary>The columns that are read and added.</summary>
        public StoryColumns Columns { get; set; } = new();

        /// <summary>The characters of all stories; see <see cref="StoryGenerator.Generate"/>. A column of characters adds to them.</summary>
        public string Characters { get; set; } = "";

        /// <summary>How stories are made.</summary>
        public StoryOptions Story { get; set; } = new();

        /// <summary>
        /// Where the model runs and what becomes of rows that no picture can be made of. The batch size counts pictures.
        /// </summary>
        public ScoringOptions Scoring { get; set; } = StoryGenerator.DefaultScoring;

        /// <summary>Is told each step of each story. Not saved.</summary>
        public IProgress<StoryProgress>? Progress { get; set; }
    }

    /// <inheritdoc/>
    public override SchemaShape GetOutputSchema(SchemaShape inputSchema)
    {
        Host.CheckValue(inputSchema, nameof(inputSchema));
        Transformer.Columns.Check(Host, inputSchema);
        return OutputSchemaShape.Add(inputSchema, Transformer.DescribeColumns());
    }

    private static StoryTransformer CreateTransformer(IHostEnvironment environment, string modelFolder, Options options)
    {
        environment.CheckNonEmpty(modelFolder, nameof(modelFolder));
        environment.CheckValue(options, nameof(options));
        return new(environment, modelFolder, options.Story, options.Scoring, options.Columns, options.Characters)
        {
            Progress = options.Progress,
        };
    }
}
