namespace Microsoft.ML.Attention.Vision;

/// <summary>How noise becomes a picture: which differential equation is followed, and how.</summary>
public enum StoryScheduler
{
    /// <summary>Denoising diffusion implicit models (Song et al., arXiv 2010.02502), what StoryDiffusion's own application uses.</summary>
    Ddim = 0,

    /// <summary>Euler's method in the noise level (Karras et al., arXiv 2206.00364).</summary>
    Euler = 1,

    /// <summary>Euler's method with fresh noise after each step.</summary>
    EulerAncestral = 2,

    /// <summary>DPM-Solver++ of second order in several steps (Lu et al., arXiv 2211.01095).</summary>
    DpmSolverMultistep = 3,

    /// <summary>That which the model's <c>scheduler_config.json</c> names.</summary>
    FromModel = 4,
}
