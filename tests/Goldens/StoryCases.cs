namespace Microsoft.ML.Attention.Onnx.Goldens;

/// <summary>StoryDiffusion: each kind of case has a file of its own.</summary>
internal sealed class StoryCases : IGoldenModel
{
    public const string Family = "storydiffusion";

    // Absolute, unlike those of other families: what is not listed has to be equal.
    private static readonly Dictionary<string, double> Tolerances = new()
    {
        ["comic_layout"] = 1,
        ["csa_op"] = 1e-5,
        ["csa_op_low_vram"] = 1e-5,
        ["freeu"] = 1e-5,
        ["onnx_surgery_block"] = 1e-5,
        ["onnx_surgery_unet"] = 1e-4,
        ["schedulers"] = 1e-5,
        ["timestep_embedding"] = 1e-4,
        ["tiny_unet_story"] = 1e-3,
        ["torch_cpu_randn"] = 2e-6,
    };

    public string Name => Family;

    /// <summary>How far a tensor may be from the expected one, relative to its standard deviation.</summary>
    public static double Tolerance(GoldenCase golden, string tensor)
    {
        var absolute = Tolerances.GetValueOrDefault(golden.Variant);
        if (tensor.Contains(".noise.", StringComparison.Ordinal))
            absolute /= 10;
        // Sums of many numbers, and noise levels from 0 to 80, have errors relative to their size.
        var isRelative = golden.Variant == "schedulers" || tensor.StartsWith("output:sum.", StringComparison.Ordinal);
        return absolute == 0 || isRelative ? absolute : absolute / Comparison.Spread(golden.Expected[tensor]);
    }

    public OnnxModel Build(GoldenCase golden) => Part(golden).Build(golden);

    public IReadOnlyDictionary<string, Tensor> Prepare(GoldenCase golden) => Part(golden).Prepare(golden);

    public IReadOnlyDictionary<string, Tensor> Align(GoldenCase golden, IReadOnlyDictionary<string, Tensor> outputs) =>
        Part(golden).Align(golden, outputs);

    public IEnumerable<IReadOnlyDictionary<string, Tensor>> Run(GoldenCase golden, IReadOnlyList<RunMode> modes) =>
        Part(golden).Run(golden, modes);

    public IReadOnlyDictionary<string, Tensor> Expect(GoldenCase golden) => Part(golden).Expect(golden);

    private static IGoldenModel Part(GoldenCase golden) => golden.Variant switch
    {
        "clip_tokenizer" or "clip_tokenizer_small" => new StoryTextCases(),
        "csa_op" or "csa_op_low_vram" => new StoryAttentionCases(),
        "freeu" => new FreeUCases(),
        "masks" => new StoryMaskCases(),
        "onnx_surgery_block" or "onnx_surgery_unet" => new StorySurgeryCases(),
        "python_random" or "torch_cpu_randn" => new StoryRandomCases(),
        "comic_layout" => new StoryPageCases(),
        "prompts" => new StoryPromptCases(),
        "schedulers" => new StorySchedulerCases(),
        "timestep_embedding" => new StoryTimestepCases(),
        "tiny_unet_story" => new StoryPipelineCases(),
        var variant => throw new NotSupportedException($"variant '{variant}' of {Family} is not known"),
    };
}

/// <summary>What is computed without a model, and so in every way to run models alike.</summary>
internal abstract class ComputedCases : IGoldenModel
{
    public string Name => StoryCases.Family;

    public OnnxModel Build(GoldenCase golden) => throw new NotSupportedException($"{golden.Variant} has no model");

    public IEnumerable<IReadOnlyDictionary<string, Tensor>> Run(GoldenCase golden, IReadOnlyList<RunMode> modes)
    {
        var outputs = Compute(golden);
        return modes.Select(_ => outputs);
    }

    public virtual IReadOnlyDictionary<string, Tensor> Expect(GoldenCase golden) => golden.Expected;

    protected abstract IReadOnlyDictionary<string, Tensor> Compute(GoldenCase golden);
}
