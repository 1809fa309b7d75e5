using System.Security.Cryptography;
using Microsoft.ML;
using Microsoft.ML.Attention;
using Microsoft.ML.Attention.Vision;
using Microsoft.ML.Data;

namespace BatchScoring.Scoring;

/// <summary>The file of a saved pipeline or an ONNX model.</summary>
internal sealed class ModelFile(string path)
{
    private const string ImagePath = "ImagePath";

    /// <summary>SHA-256 over the file and the weights that ONNX models keep beside it.</summary>
    public string Digest()
    {
        try
        {
            using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
            var buffer = new byte[1 << 20];
            foreach (var file in new[] { path, path + ".data" }.Where(file => file == path || File.Exists(file)))
            {
                using var stream = File.OpenRead(file);
                while (stream.Read(buffer) is > 0 and var read)
                    hash.AppendData(buffer, 0, read);
            }
            return Convert.ToHexStringLower(hash.GetHashAndReset());
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw NotLoaded(error);
        }
    }

    /// <summary>Loads the model, ready to score.</summary>
    public IBatchScorer Open(MLContext context, JobOptions options)
    {
        try
        {
            return Path.GetExtension(path).Equals(".onnx", StringComparison.OrdinalIgnoreCase)
                ? OpenOnnx(context, options)
                : OpenPipeline(context, options);
        }
        catch (Exception error) when (error is not JobException)
        {
            throw NotLoaded(error);
        }
    }

    private PipelineScorer OpenPipeline(MLContext context, JobOptions options)
    {
        var onnxModels = 0;
        var pipeline = context.Model.Load(path, out var schema).WithScoringOptions(scoring => Override(scoring, options, onnxModels++));
        return new PipelineScorer(pipeline, schema, options.ImageColumn, options.Columns);
    }

    private PipelineScorer OpenOnnx(MLContext context, JobOptions options)
    {
        var schema = new DataViewSchema.Builder();
        schema.AddColumn(ImagePath, TextDataViewType.Instance);
        var noPaths = new PathsView(schema.ToSchema(), 0, []);
        var pipeline = context.Transforms.ScoreImages(new ImageScoringEstimator.Options
        {
            ModelFile = path,
            ImageColumnName = ImagePath,
            Preprocessing = options.Preprocessing,
            Labels = options.Labels,
            Scoring = Override(new ScoringOptions(), options, 0),
        });
        return new PipelineScorer(pipeline.Fit(noPaths), noPaths.Schema, ImagePath, options.Columns);
    }

    private static ScoringOptions Override(ScoringOptions scoring, JobOptions options, int number) => scoring with
    {
        BatchSize = options.BatchSize,
        BadInput = BadInput.ScoreAsMissing,
        ErrorColumnName = PipelineScorer.ErrorColumnPrefix + number,
        Session = scoring.Session with { ExecutionProvider = options.Provider },
    };

    private JobException NotLoaded(Exception error) =>
        new(ExitCode.ModelNotLoaded, $"Model '{path}' cannot be loaded: {error.Message}", error);
}
